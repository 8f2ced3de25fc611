"""Where collections live: in process (edge.py) or behind qdrant-client (server.py)."""
