"""What all HTTP servers of reconcile share. They need the extra `serve`."""
