WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT sum(i), max(repeat('ab', 3)) FROM n, t GROUP BY ROLLUP (i) HAVING count(*) > 0
