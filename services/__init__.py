"""The gRPC services of Parley. No service imports another; what they share is in `services.rpc`."""
