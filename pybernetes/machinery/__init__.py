"""API machinery, pure: everything an API needs that knows no kind. No asyncio, no sockets, no files."""
