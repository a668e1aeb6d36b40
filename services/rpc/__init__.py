"""What every gRPC service shares: running a server, errors, health, deadlines, settings."""
