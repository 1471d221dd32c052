"""How anyone talks to the API: requests, list and watch, informers, work queues, reconcile loops, leader election."""
