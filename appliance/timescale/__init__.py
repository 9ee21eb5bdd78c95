"""The timescale: pure decisions. Events in, actions and snapshots out; no clock, no thread, no device."""
