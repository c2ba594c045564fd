"""Running every example over several seeds, and one table of what came out beside what the papers say.

    python -m minigan reproduce --list
    python -m minigan reproduce all --jobs 2

    rows.py     what is run: a row of the table for each
    runs.py     one run in a process and a folder of its own, and the record that it leaves
    pool.py     several runs at a time, and leaving cleanly
    table.py    many verdicts as one table
    command.py  the command line

Nothing here knows what a GAN is: an example is a program that leaves verdict.json. Stands on checkpoint.py, for files
that are whole or absent. Start with rows.py.
"""
