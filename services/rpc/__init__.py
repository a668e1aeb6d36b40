"""What every gRPC service shares: running a server, errors, health, deadlines, settings."""

import os

# Where a process forks, gRPC's own handlers start its threads again in the child, which crash now
# and then before the child has become another program. gRPC reads this when it begins.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
