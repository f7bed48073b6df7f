"""Inside the clients: pure steps and their two drivers."""
