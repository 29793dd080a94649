// Checks a server with the Go client of InfluxDB 3: every type, nulls, names and values in Unicode, and many rows,
// written over HTTP and read back over Flight. `go run . http://host:port rows`; the token is in OCHRE_TOKEN.
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/InfluxCommunity/influxdb3-go/v2/influxdb3"
)

const (
	start = int64(1_700_000_000_000_000_000)
	batch = 10_000
	text  = `a,b c=d "quoted" back\slash ß é 漢字 🎉`
	place = "Zürich, Süd=1 🏔"
	table = "mérés, 測定 1"
	tag   = "hely =, ég"
	field = "hő, °C = 🌡"
)

type row = map[string]any

type check struct {
	host, token string
	rows        int
}

func (c check) connect(database string) (*influxdb3.Client, error) {
	return influxdb3.New(influxdb3.ClientConfig{Host: c.host, Token: c.token, Database: database})
}

// read returns all rows of an answer; what is null is left out.
func read(client *influxdb3.Client, sql string) ([]row, error) {
	iterator, err := client.Query(context.Background(), sql)
	if err != nil {
		return nil, err
	}
	var rows []row
	for iterator.Next() {
		found := row{}
		for name, value := range iterator.Value() {
			if value != nil {
				found[name] = value
			}
		}
		rows = append(rows, found)
	}
	return rows, iterator.Err()
}

func equal(got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("got %#v, expected %#v", got, want)
	}
	return nil
}

func (c check) everyTypeAndNull() (string, error) {
	client, err := c.connect("go_types")
	if err != nil {
		return "", err
	}
	defer client.Close()
	want := []row{
		{"place": place, "f": 1.5, "i": int64(0), "u": uint64(0), "b": true, "s": text},
		{"place": place, "f": math.MaxFloat64, "i": int64(math.MaxInt64), "u": uint64(math.MaxUint64), "b": false, "s": ""},
		{"place": place, "f": math.SmallestNonzeroFloat64, "i": int64(math.MinInt64), "u": uint64(1 << 63), "b": true, "s": "漢"},
		{"place": "alone", "f": -0.1},
		{"i": int64(1<<53 + 1)},
		{"place": "alone", "u": uint64(1<<53 + 1)},
		{"b": false},
		{"s": strings.Repeat("x", 10_000)},
	}
	var points []*influxdb3.Point
	for at, values := range want {
		when := time.Unix(0, start+int64(at)).UTC()
		point := influxdb3.NewPointWithMeasurement("typed").SetTimestamp(when)
		for name, value := range values {
			if name == "place" {
				point.SetTag(name, value.(string))
			} else {
				point.SetField(name, value)
			}
		}
		points = append(points, point)
		values["time"] = when
	}
	if err := client.WritePoints(context.Background(), points); err != nil {
		return "", err
	}
	got, err := read(client, "SELECT * FROM typed ORDER BY time")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d rows", len(want)), equal(got, want)
}

// tagsAndFields reads a row as a point, which goes by the metadata that tells tags from fields.
func (c check) tagsAndFields() (string, error) {
	client, err := c.connect("go_types")
	if err != nil {
		return "", err
	}
	defer client.Close()
	iterator, err := client.QueryPointValue(context.Background(), "SELECT * FROM typed ORDER BY time LIMIT 1")
	if err != nil {
		return "", err
	}
	point, err := iterator.Next()
	if err != nil {
		return "", err
	}
	found, _ := point.GetTag("place")
	got := []any{found, *point.GetDoubleField("f"), *point.GetIntegerField("i"), *point.GetUIntegerField("u"),
		*point.GetBooleanField("b"), *point.GetStringField("s"), point.Timestamp.UnixNano(), len(point.GetTagNames())}
	want := []any{place, 1.5, int64(0), uint64(0), true, text, start, 1}
	return "by metadata", equal(got, want)
}

func (c check) unicodeNames() (string, error) {
	client, err := c.connect("go_names")
	if err != nil {
		return "", err
	}
	defer client.Close()
	when := time.Unix(0, start).UTC()
	point := influxdb3.NewPointWithMeasurement(table).SetTag(tag, place).SetStringField(field, text).SetTimestamp(when)
	if err := client.WritePoints(context.Background(), []*influxdb3.Point{point}); err != nil {
		return "", err
	}
	got, err := read(client, `SELECT * FROM "`+table+`"`)
	if err != nil {
		return "", err
	}
	return "a table, a tag and a field", equal(got, []row{{tag: place, field: text, "time": when}})
}

func (c check) errorsAreTold() (string, error) {
	client, err := c.connect("go_types")
	if err != nil {
		return "", err
	}
	defer client.Close()
	var server *influxdb3.ServerError
	if err := client.Write(context.Background(), []byte("cpu v=x 1")); !errors.As(err, &server) {
		return "", fmt.Errorf("a bad line gave %v", err)
	}
	if _, err := read(client, "SELECT nothing FROM typed"); err == nil || !strings.Contains(err.Error(), "nothing") {
		return "", fmt.Errorf("a bad query gave %v", err)
	}
	if os.Getenv("OCHRE_TOKEN") == "" {
		return "a bad line, a bad query", nil
	}
	stranger, err := check{host: c.host, token: strings.Repeat("wrong", 8)}.connect("go_types")
	if err != nil {
		return "", err
	}
	defer stranger.Close()
	if _, err := read(stranger, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "Unauthenticated") {
		return "", fmt.Errorf("a wrong token gave %v", err)
	}
	return "a bad line, a bad query, a wrong token", nil
}

func (c check) manyRows() (string, error) {
	client, err := c.connect("go_large")
	if err != nil {
		return "", err
	}
	defer client.Close()
	for from := 0; from < c.rows; from += batch {
		var lines strings.Builder
		for at := from; at < min(from+batch, c.rows); at++ {
			fmt.Fprintf(&lines, "large,host=höst-%d n=%di,x=%s,s=\"row %d\" %d\n", at%100, at,
				strconv.FormatFloat(float64(at)*0.5, 'f', -1, 64), at, start+int64(at)*1_000_000)
		}
		if err := client.Write(context.Background(), []byte(lines.String())); err != nil {
			return "", err
		}
	}
	iterator, err := client.Query(context.Background(), "SELECT * FROM large ORDER BY time")
	if err != nil {
		return "", err
	}
	at := 0
	for ; iterator.Next(); at++ {
		want := row{"host": fmt.Sprintf("höst-%d", at%100), "n": int64(at), "x": float64(at) * 0.5,
			"s": fmt.Sprintf("row %d", at), "time": time.Unix(0, start+int64(at)*1_000_000).UTC()}
		if err := equal(iterator.Value(), want); err != nil {
			return "", fmt.Errorf("row %d: %w", at, err)
		}
	}
	if err := iterator.Err(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d rows", at), equal(at, c.rows)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "go run . http://host:port rows")
		os.Exit(2)
	}
	rows, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	token := os.Getenv("OCHRE_TOKEN")
	if token == "" {
		token = "no-token-is-needed"
	}
	c := check{host: os.Args[1], token: token, rows: rows}
	failed := false
	for _, one := range []struct {
		name string
		run  func() (string, error)
	}{
		{"every type and null", c.everyTypeAndNull},
		{"tags and fields", c.tagsAndFields},
		{"unicode names", c.unicodeNames},
		{"errors are told", c.errorsAreTold},
		{"many rows", c.manyRows},
	} {
		begun := time.Now()
		said, err := one.run()
		if err != nil {
			failed = true
			fmt.Printf("FAILED go %s: %v\n", one.name, err)
			continue
		}
		fmt.Printf("ok     go %s: %s (%.1f s)\n", one.name, said, time.Since(begun).Seconds())
	}
	if failed {
		os.Exit(1)
	}
}
