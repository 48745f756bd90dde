"""The page for people: an HTTP server on the standard library, what it shows, and how that is drawn. Free of ROS."""
