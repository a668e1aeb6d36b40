"""The gRPC services of Parley. No service imports another; what they share is in `services.rpc`."""

import os

# Where a process forks, gRPC's own handlers start its threads again in the child, which crash now
# and then before the child has become another program. Set before anything imports gRPC.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
