"""actorcore: processes with OTP's semantics, each an OS process, under a local daemon."""
