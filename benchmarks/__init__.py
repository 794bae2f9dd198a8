"""Where the README's figures come from: each benchmark prints a table and writes a JSON. No test is timed here."""
