"""Sockets, TLS, WebSocket, and what is counted on them."""
