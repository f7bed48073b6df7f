"""What runs on the core: supervisors, policies, the daemon and its front."""
