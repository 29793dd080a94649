//! The table of fields, in the order of the canonical document.

use super::Field;

/// Every field of the document.
pub const FIELDS: &[Field] = &[
    Field {
        path: "database",
        unit: "a name, or `\"*\"`",
        default: "",
        doc: "The database that the document is for; `\"*\"` is what new databases start from. Always given.",
        wrong: &[("limits: {}", "database"), ("database: \"\"", "database"), ("database: 2024", "database")],
    },
    Field {
        path: "partition",
        unit: "a list of at most 100 rules",
        default: "[]",
        doc: "How rows lie together: the first rule whose `tables` match a row's table decides. Tables that none matches \
              have one partition a day.",
        wrong: &[("{database: d, partition: all}", "partition")],
    },
    Field {
        path: "partition[].tables",
        unit: "a glob, or a regular expression between slashes",
        default: "",
        doc: "The tables that the rule is for. Always given.",
        wrong: &[
            ("{database: d, partition: [{tables: \"/(/\", by: []}]}", "partition[0].tables"),
            ("{database: d, partition: [{by: []}]}", "partition[0].tables"),
            ("{database: d, partition: [{tables: \"*\", by: []}, {tables: a, by: []}]}", "partition[1].tables"),
            ("{database: d, partition: [{tables: a, by: []}, {tables: a, by: []}]}", "partition[1].tables"),
        ],
    },
    Field {
        path: "partition[].by",
        unit: "a list of at most 8 parts",
        default: "",
        doc: "The parts of the partition key, in order. Always given; with `[]` a table is one partition.",
        wrong: &[
            ("{database: d, partition: [{tables: a}]}", "partition[0].by"),
            ("{database: d, partition: [{tables: a, by: [{}]}]}", "partition[0].by[0]"),
            ("{database: d, partition: [{tables: a, by: [{table: {}, tag: b}]}]}", "partition[0].by[0]"),
            ("{database: d, partition: [{tables: a, by: [{tag: b}, {tag: b}]}]}", "partition[0].by[1]"),
        ],
    },
    Field {
        path: "partition[].by[].table",
        unit: "`{}`",
        default: "",
        doc: "The table's name.",
        wrong: &[("{database: d, partition: [{tables: a, by: [{table: cpu}]}]}", "partition[0].by[0].table")],
    },
    Field {
        path: "partition[].by[].tag",
        unit: "a tag",
        default: "",
        doc: "The tag's value.",
        wrong: &[
            ("{database: d, partition: [{tables: a, by: [{tag: time}]}]}", "partition[0].by[0].tag"),
            ("{database: d, partition: [{tables: a, by: [{tag: b}]}], columns: {b: float}}", "partition[0].by[0].tag"),
        ],
    },
    Field {
        path: "partition[].by[].bucket.tag",
        unit: "a tag",
        default: "",
        doc: "The tag whose value is hashed: murmur3 (32 bits, seed 0) without its sign, modulo `count`.",
        wrong: &[(
            "{database: d, partition: [{tables: a, by: [{bucket: {count: 1}}]}]}",
            "partition[0].by[0].bucket.tag",
        )],
    },
    Field {
        path: "partition[].by[].bucket.count",
        unit: "1 to 100000",
        default: "",
        doc: "How many buckets there are.",
        wrong: &[
            (
                "{database: d, partition: [{tables: a, by: [{bucket: {tag: h, count: 0}}]}]}",
                "partition[0].by[0].bucket.count",
            ),
            ("{database: d, partition: [{tables: a, by: [{bucket: {tag: h}}]}]}", "partition[0].by[0].bucket.count"),
        ],
    },
    Field {
        path: "partition[].by[].regex.tag",
        unit: "a tag",
        default: "",
        doc: "The tag from whose value a piece is taken.",
        wrong: &[(
            "{database: d, partition: [{tables: a, by: [{regex: {tag: 1, pattern: \"^(a)\"}}]}]}",
            "partition[0].by[0].regex.tag",
        )],
    },
    Field {
        path: "partition[].by[].regex.pattern",
        unit: "a regular expression that starts with `^` and has one group",
        default: "",
        doc: "The piece: what the group captures.",
        wrong: &[(
            "{database: d, partition: [{tables: a, by: [{regex: {tag: h, pattern: \"(a)\"}}]}]}",
            "partition[0].by[0].regex.pattern",
        )],
    },
    Field {
        path: "partition[].by[].time",
        unit: "a format of `%Y %m %d %j %H %M %S %F %R %T`",
        default: "",
        doc: "The row's time in UTC, cut to the finest unit of the format. Units stand from the year on, none left out.",
        wrong: &[("{database: d, partition: [{tables: a, by: [{time: \"%H\"}]}]}", "partition[0].by[0].time")],
    },
    Field {
        path: "columns",
        unit: "a map of at most 10000 names",
        default: "{}",
        doc: "Columns whose kind is decided beforehand, in every table.",
        wrong: &[("{database: d, columns: [usage]}", "columns")],
    },
    Field {
        path: "columns.*",
        unit: "tag, float, integer, unsigned, boolean or string",
        default: "",
        doc: "The kind that columns of this name have. A write that has another is refused.",
        wrong: &[
            ("{database: d, columns: {usage: double}}", "columns.usage"),
            ("{database: d, columns: {time: integer}}", "columns.time"),
        ],
    },
    Field {
        path: "log.ack",
        unit: "durable or accepted",
        default: "durable",
        doc: "When a write is acknowledged: once the log has it on stable storage, or once it is in memory, where a crash \
              may take it.",
        wrong: &[("{database: d, log: {ack: maybe}}", "log.ack")],
    },
    Field {
        path: "buffer.freeze_after",
        unit: "a duration of at least 1ms",
        default: "5m",
        doc: "Age of its first row (since arrival) after which an open chunk is frozen.",
        wrong: &[
            ("{database: d, buffer: {freeze_after: 5 minuts}}", "buffer.freeze_after"),
            ("{database: d, buffer: {freeze_after: 300}}", "buffer.freeze_after"),
            ("{database: d, buffer: {freeze_after: 0s}}", "buffer.freeze_after"),
        ],
    },
    Field {
        path: "buffer.freeze_rows",
        unit: "rows, 1 to 2147483648",
        default: "1048576",
        doc: "Rows after which an open chunk is frozen.",
        wrong: &[
            ("{database: d, buffer: {freeze_rows: 0}}", "buffer.freeze_rows"),
            ("{database: d, buffer: {freeze_rows: 2147483649}}", "buffer.freeze_rows"),
            ("{database: d, buffer: {freeze_rows: 1.5}}", "buffer.freeze_rows"),
        ],
    },
    Field {
        path: "buffer.freeze_size",
        unit: "a size",
        default: "128MiB",
        doc: "Bytes in memory after which an open chunk is frozen.",
        wrong: &[
            ("{database: d, buffer: {freeze_size: 0}}", "buffer.freeze_size"),
            ("{database: d, buffer: {freeze_size: much}}", "buffer.freeze_size"),
        ],
    },
    Field {
        path: "buffer.persist_after",
        unit: "a duration",
        default: "10m",
        doc: "Age of its first row (since arrival) after which a frozen chunk is persisted, whatever its size.",
        wrong: &[("{database: d, buffer: {persist_after: -1s}}", "buffer.persist_after")],
    },
    Field {
        path: "lifecycle.retain",
        unit: "a list of at most 100 rules, or a duration for all tables",
        default: "[]",
        doc: "How long rows are kept, by their time and the server's clock: the first rule whose `tables` match a row's \
              table decides. Rows of tables that none matches are kept for ever. Writes of rows that are too old \
              already are refused line by line.",
        wrong: &[
            ("{database: d, lifecycle: {retain: soon}}", "lifecycle.retain"),
            ("{database: d, lifecycle: {retain: 0s}}", "lifecycle.retain"),
            ("{database: d, lifecycle: {retain: {}}}", "lifecycle.retain"),
        ],
    },
    Field {
        path: "lifecycle.retain[].tables",
        unit: "a glob, or a regular expression between slashes",
        default: "",
        doc: "The tables that the rule is for. Always given.",
        wrong: &[
            ("{database: d, lifecycle: {retain: [{after: 1h}]}}", "lifecycle.retain[0].tables"),
            (
                "{database: d, lifecycle: {retain: [{tables: \"*\", after: 1h}, {tables: a, after: 1d}]}}",
                "lifecycle.retain[1].tables",
            ),
            (
                "{database: d, lifecycle: {retain: [{tables: a, after: 1h}, {tables: a, after: 1d}]}}",
                "lifecycle.retain[1].tables",
            ),
        ],
    },
    Field {
        path: "lifecycle.retain[].after",
        unit: "a duration of at least 1ms, or forever",
        default: "",
        doc: "Rows whose time is further back than this are gone. Always given.",
        wrong: &[
            ("{database: d, lifecycle: {retain: [{tables: a}]}}", "lifecycle.retain[0].after"),
            ("{database: d, lifecycle: {retain: [{tables: a, after: 30}]}}", "lifecycle.retain[0].after"),
        ],
    },
    Field {
        path: "lifecycle.settle_window",
        unit: "a duration in whole hours, at least 1h",
        default: "14d",
        doc: "How old a version must be before it is joined with others for good, in a database that has met a peer. One \
              value in the whole federation. A database that has met none settles at once.",
        wrong: &[
            ("{database: d, lifecycle: {settle_window: 30m}}", "lifecycle.settle_window"),
            ("{database: d, lifecycle: {settle_window: 90m}}", "lifecycle.settle_window"),
        ],
    },
    Field {
        path: "lifecycle.compact.enabled",
        unit: "true or false",
        default: "true",
        doc: "Whether chunks are joined by themselves. Deletes and retention are carried out in any case.",
        wrong: &[("{database: d, lifecycle: {compact: {enabled: never}}}", "lifecycle.compact.enabled")],
    },
    Field {
        path: "lifecycle.compact.max_file_size",
        unit: "a size of at least 1MiB",
        default: "512MiB",
        doc: "Joined chunks are cut, by time, into files of about this size.",
        wrong: &[("{database: d, lifecycle: {compact: {max_file_size: 1000}}}", "lifecycle.compact.max_file_size")],
    },
    Field {
        path: "lifecycle.compact.max_files",
        unit: "chunks, 2 to 10000",
        default: "8",
        doc: "Chunks of a partition as they were frozen that are joined at the latest: as soon as there are so many.",
        wrong: &[("{database: d, lifecycle: {compact: {max_files: 1}}}", "lifecycle.compact.max_files")],
    },
    Field {
        path: "lifecycle.compact.quiet_after",
        unit: "a duration",
        default: "30m",
        doc: "How long a partition has to be quiet until what overlaps in it is joined, however little it is.",
        wrong: &[("{database: d, lifecycle: {compact: {quiet_after: -1s}}}", "lifecycle.compact.quiet_after")],
    },
    Field {
        path: "lifecycle.sort",
        unit: "auto, or a list of at most 64 tags",
        default: "auto",
        doc: "The order of rows in chunks that are frozen from now on: these tags first, where a table has them, then its \
              others. `auto`: tags with few values first, chosen at a table's first freeze.",
        wrong: &[
            ("{database: d, lifecycle: {sort: [a, a]}}", "lifecycle.sort[1]"),
            ("{database: d, lifecycle: {sort: host}}", "lifecycle.sort"),
            ("{database: d, lifecycle: {sort: [a]}, columns: {a: string}}", "lifecycle.sort[0]"),
        ],
    },
    Field {
        path: "lifecycle.bloom",
        unit: "a list of at most 16 columns",
        default: "[]",
        doc: "Tags and text fields whose values chunks have bloom filters of, from now on: a query for one value skips \
              what can't hold it. Worth it for columns with very many values, such as trace ids.",
        wrong: &[
            ("{database: d, lifecycle: {bloom: [a, a]}}", "lifecycle.bloom[1]"),
            ("{database: d, lifecycle: {bloom: [time]}}", "lifecycle.bloom[0]"),
            ("{database: d, lifecycle: {bloom: [a]}, columns: {a: float}}", "lifecycle.bloom[0]"),
        ],
    },
    Field {
        path: "lifecycle.mutable",
        unit: "true or false",
        default: "true",
        doc: "Whether writes and deletes are taken.",
        wrong: &[("{database: d, lifecycle: {mutable: \"no\"}}", "lifecycle.mutable")],
    },
    Field {
        path: "lifecycle.grace",
        unit: "a duration, longer than `limits.query_time`",
        default: "1h",
        doc: "How long objects stay after nothing names them any more: longer than any query may run, and than attached \
              readers need to see a newer catalog.",
        wrong: &[
            ("{database: d, lifecycle: {grace: 5m}}", "lifecycle.grace"),
            ("{database: d, lifecycle: {grace: 1h}, limits: {query_time: 1h}}", "lifecycle.grace"),
        ],
    },
    Field {
        path: "lifecycle.undrop_within",
        unit: "a duration",
        default: "7d",
        doc: "How long a dropped table or database can be brought back.",
        wrong: &[("{database: d, lifecycle: {undrop_within: 7}}", "lifecycle.undrop_within")],
    },
    Field {
        path: "store",
        unit: "all, none or a match",
        default: "all",
        doc: "Which rows are kept: all; none; or those that a match takes, and others are refused line by line.",
        wrong: &[("{database: d, store: some}", "store"), ("{database: d, store: slots}", "store")],
    },
    Field {
        path: "store.match.tables",
        unit: "a list of at most 1000 table patterns",
        default: "",
        doc: "The tables whose rows are kept; all, if there is no pattern.",
        wrong: &[
            ("{database: d, store: {match: {tables: a}}}", "store.match.tables"),
            ("{database: d, store: {match: {tables: [\"\"]}}}", "store.match.tables[0]"),
        ],
    },
    Field {
        path: "store.match.where",
        unit: "a predicate over tags and time, as in SQL",
        default: "",
        doc: "Which rows of these tables are kept, such as `region = 'eu' AND host <> 'a'`; all, if it is not given.",
        wrong: &[("{database: d, store: {match: {where: \"region =\"}}}", "store.match.where")],
    },
    Field {
        path: "limits.columns",
        unit: "columns, 1 to 4294967295",
        default: "4096",
        doc: "Columns of a table.",
        wrong: &[("{database: d, limits: {columns: -1}}", "limits.columns")],
    },
    Field {
        path: "limits.tables",
        unit: "tables, 1 to 4294967295",
        default: "10000",
        doc: "Tables of the database.",
        wrong: &[("{database: d, limits: {tables: 0}}", "limits.tables")],
    },
    Field {
        path: "limits.partitions_per_write",
        unit: "partitions, 1 to 4294967295",
        default: "5000",
        doc: "Partitions that one write may touch: a guard against one file a row.",
        wrong: &[("{database: d, limits: {partitions_per_write: many}}", "limits.partitions_per_write")],
    },
    Field {
        path: "limits.past",
        unit: "a duration, or any",
        default: "any",
        doc: "How far back from the server's clock the time of a written row may lie. Others are refused line by line.",
        wrong: &[("{database: d, limits: {past: long}}", "limits.past")],
    },
    Field {
        path: "limits.future",
        unit: "a duration, or any",
        default: "any",
        doc: "How far ahead of the server's clock the time of a written row may lie. Others are refused line by line.",
        wrong: &[("{database: d, limits: {future: 10}}", "limits.future")],
    },
    Field {
        path: "limits.line",
        unit: "a size",
        default: "4MiB",
        doc: "Bytes of one line of line protocol.",
        wrong: &[("{database: d, limits: {line: 4 megs}}", "limits.line")],
    },
    Field {
        path: "limits.body",
        unit: "a size",
        default: "64MiB",
        doc: "Bytes of a request's body, before and after decompression.",
        wrong: &[("{database: d, limits: {body: -5}}", "limits.body")],
    },
    Field {
        path: "limits.query_memory",
        unit: "a size",
        default: "2GiB",
        doc: "Memory that one query may take, within what all queries of the server have.",
        wrong: &[("{database: d, limits: {query_memory: true}}", "limits.query_memory")],
    },
    Field {
        path: "limits.query_time",
        unit: "a duration of at least 1ms",
        default: "5m",
        doc: "How long a query may run.",
        wrong: &[
            ("{database: d, limits: {query_time: 0s}}", "limits.query_time"),
            ("{database: d, limits: {query_time: 2h}}", "limits.query_time"),
        ],
    },
    Field {
        path: "limits.concurrent_queries",
        unit: "queries, 1 to 100000",
        default: "32",
        doc: "Queries that may run at a time; further ones wait for their turn.",
        wrong: &[("{database: d, limits: {concurrent_queries: 0}}", "limits.concurrent_queries")],
    },
];
