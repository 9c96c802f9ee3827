-- The history of twinmesh in ClickHouse, for those who outgrow one machine: the table and the same questions.
-- Filled from the segments of a site (docs/history.md); not used by twinmesh itself. tests/graph/test_clickhouse.py runs it.

CREATE TABLE points (point UInt32, iri String) ENGINE = ReplacingMergeTree ORDER BY point;

CREATE TABLE readings
(
    point UInt32 CODEC(ZSTD),
    time DateTime64(9, 'UTC') CODEC(DoubleDelta, ZSTD),
    value Nullable(Float64) CODEC(Gorilla, ZSTD),
    word Nullable(Int64) CODEC(ZSTD),
    quality UInt8 CODEC(ZSTD),
    kind UInt8 CODEC(ZSTD),
    segment UInt32 -- its place in the catalog: the later one counts where point and time are the same
)
ENGINE = ReplacingMergeTree(segment)
PARTITION BY toYYYYMM(time)
ORDER BY (point, time);

INSERT INTO points SELECT DISTINCT point, iri FROM file('history/s*.index.parquet', Parquet);

INSERT INTO readings
WITH (
    SELECT tupleElement(JSONExtract(json, 'catalog', 'segments', 'Array(Tuple(name String))'), 'name')
    FROM file('history/catalog.json', JSONAsString)
) AS names -- in the order in which they count: the name of a merged segment says nothing of it
SELECT point, time, value, word, quality, kind, toUInt32(indexOf(names, extract(_file, '(s\\d{8})'))) AS place
FROM file('history/s????????.parquet', Parquet)
WHERE place > 0;

-- history(from, to)
SELECT time, value, quality FROM readings FINAL
WHERE point = {point:UInt32} AND time >= {from:DateTime64(9, 'UTC')} AND time < {to:DateTime64(9, 'UTC')} ORDER BY time;

-- history(last)
SELECT time, value, quality FROM
    (SELECT * FROM readings FINAL WHERE point = {point:UInt32} ORDER BY time DESC LIMIT {last:UInt32})
ORDER BY time;

-- history(bucket: "PT1H", aggregate: [COUNT, MIN, MAX, MEAN, SUM])
SELECT toStartOfHour(time) AS bucket, count(), min(value), max(value), avg(value), sum(value)
FROM readings FINAL
WHERE point = {point:UInt32} AND bitAnd(quality, 3) < 2 AND isFinite(value)
GROUP BY bucket ORDER BY bucket;

-- value as of a time
SELECT argMax(value, time), max(time) FROM readings FINAL
WHERE point = {point:UInt32} AND time <= {at:DateTime64(9, 'UTC')};
