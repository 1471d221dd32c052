"""Cluster DNS: names of Services, endpoints and Pods, and a forwarder for all others."""
