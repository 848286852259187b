"""The page: click on images and videos in a browser, and see at once what the network segments."""
