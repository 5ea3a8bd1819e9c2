"""Components: one ComponentResource a file, in folders by subject. `docs/architecture.md` has the map."""
