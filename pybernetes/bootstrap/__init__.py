"""Building clusters out of the parts: certificates, kubeconfigs, images, `up` and `down`, init and join."""
