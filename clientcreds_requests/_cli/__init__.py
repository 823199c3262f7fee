"""The command line: ``clientcreds-requests``, and ``python -m clientcreds_requests``."""
