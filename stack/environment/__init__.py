"""Makes what Parley runs in: its Python environment, the gRPC stubs, and the chat page.

Standard library only, for it runs before anything is installed. Knows nothing of services.
"""
