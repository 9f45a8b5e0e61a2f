"""The viewer node: what the other nodes publish, handed over to the browser view (fanet_ros/view)."""
