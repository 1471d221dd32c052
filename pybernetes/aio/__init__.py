"""The asyncio toolbox: clock, supervised tasks, back-off, rate limit. Knows no Kubernetes."""
