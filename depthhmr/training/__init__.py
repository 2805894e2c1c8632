"""How the network learns: losses, schedules, checkpoints and runs that survive a kill."""
