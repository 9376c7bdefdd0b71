//! Signed links: nginx secure_link_md5 and its extensions, decided without clock or socket.
