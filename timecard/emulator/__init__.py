"""The virtual Time Card: registers, vendors' bytes and seeded physics behind a vfio-user socket."""
