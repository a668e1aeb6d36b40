"""What every gRPC service of Parley shares: running a server, errors, health, deadlines, settings."""
