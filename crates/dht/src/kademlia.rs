//! Kademlia (Maymounkov and Mazieres, IPTPS 2002), and on the wire the mainline DHT (BEP 5).
