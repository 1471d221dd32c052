"""The API server: request chain, verbs, admission, authentication, authorization."""
