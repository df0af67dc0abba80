"""What training costs: images a second, and memory of a teacher."""
