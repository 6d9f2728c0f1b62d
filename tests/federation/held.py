"""What a federation's coordinator keeps: its metadata database and its files."""

from __future__ import annotations

import subprocess

from tests.faults import canary
from tests.federation.site import Site


def held_at_the_coordinator(site: Site) -> list[canary.Named]:
    """Return its metadata database as text, and each file of its home folder."""
    database = _of_database(site, "pg_dump", "--data-only", "--inserts")
    return [("metadata database", database), *canary.files(site.home, [site.home])]


def sql(site: Site, statement: str) -> str:
    """Run a statement in its metadata database; returns the values, a line a row."""
    return _of_database(site, "psql", "--tuples-only", "--no-align", "--command", statement).decode()


def _of_database(site: Site, program: str, *words: str) -> bytes:
    url = (site.home / "server" / "secrets" / "database_url").read_text().replace("+psycopg2", "")
    argv = [str(canary.binaries() / program), *words, "--dbname", url]
    namespaces = ["nsenter", f"--target={site.pid('scheduler')}", "--net", "--"]
    return subprocess.run([*namespaces, *argv], capture_output=True, check=True).stdout
