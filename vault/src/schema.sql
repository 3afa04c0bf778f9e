-- Spaces and keys are as the caller chose them (keys blinded where they would tell something); values are sealed.
CREATE TABLE rows (
    id INTEGER PRIMARY KEY,
    space INTEGER NOT NULL,
    key BLOB NOT NULL,
    wrapping INTEGER,
    sealed BLOB NOT NULL
) STRICT;
-- Apart from the table and not WITHOUT ROWID: values of a kilobyte would spill out of every index page.
CREATE UNIQUE INDEX rows_by_key ON rows (space, key);
CREATE INDEX rows_by_wrapping ON rows (wrapping) WHERE wrapping IS NOT NULL;

-- AUTOINCREMENT: the number of a destroyed key is never given to another.
CREATE TABLE wrapping_keys (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name BLOB NOT NULL UNIQUE
) STRICT;

-- Keys whose rows are moving under a new key of the same name; destroyed once none is left.
CREATE TABLE retired_keys (
    number INTEGER PRIMARY KEY,
    name BLOB NOT NULL
) STRICT;

CREATE TABLE identity (sealed BLOB NOT NULL) STRICT;
