"""The client without its sockets: values, requests, replies, one connection's protocol, routing and retries."""
