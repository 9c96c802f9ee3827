"""Query operations compiled into plans that write JSON straight from columns; see `api.compiled.compiler`."""
