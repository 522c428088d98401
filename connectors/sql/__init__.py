"""The generic SQL connector: any database that SQLAlchemy supports, read by a cursor column and never written.

The path of a poll, each step in the file of that name:

    connector    `SqlConnector.read`: options and mapping become a `SqlReadPlan`
    reading      `SqlPoll`: follows each lane (child lanes, the live lane, the backfill) from its stored cursor
    lanes        which window a lane reads next, and where it stands afterwards: pure decisions
    scales       cursor values as integers ("positions"), so that windows can be computed
    paging       `Pager`: one page after the other, each strictly behind the one before
    halving      isolates a row that cannot be read, so that the rest of its page can
    statements   the SELECTs: every comparison is left to the database
    connection   `Database.run`: one short read-only transaction per statement
    records      rows become records, with their children nested

The other files:

    keys, key_spelling        a record's id, and keys that the database treats as equal although spelled differently
    ordering                  how a database compares a column whose values its driver cuts, rounds or renames
    columns, cursors          what is learned of a stream's columns; the scale of its cursor column
    moments, values           points in time and other values as plain JSON, alike for every database
    engines, sessions, limits driver and engine of a URL; settings of each transaction; limits below the driver
    postgresql, mysql         what only these drivers know; imported when such a database is read
    errors, diagnosis, causes errors of drivers, what they mean, and the fix
    checking, server_check, cursor_check, newest, kinds   `check`: the stream, the server, the cursor column, its fields
    catalog, tables, discovering, sketch                  `discover` and `init --from`
"""
