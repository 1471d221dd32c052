"""The network of Pods and Services: kube-proxy, cluster DNS, CNI."""
