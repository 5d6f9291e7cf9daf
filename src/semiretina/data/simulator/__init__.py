"""Drawing fundus photographs: eyes, their vessels and lesions, the cameras, and a look-alike of Messidor."""
