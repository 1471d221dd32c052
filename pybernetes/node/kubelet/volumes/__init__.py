"""Volumes: `manager` sets up, keeps current and takes down what a pod mounts; a module for each family of sources."""
