-- From the attached `source` into an empty database of the same schema. Numbers of wrapping keys are not given twice,
-- though none of the keys is copied.
INSERT INTO main.rows (space, key, sealed)
    SELECT space, key, sealed FROM source.rows WHERE wrapping IS NULL ORDER BY space, key;
INSERT INTO main.identity (sealed) SELECT sealed FROM source.identity;
INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq FROM source.sqlite_sequence;
