//! A virtual LAN: switch, DHCP, access points, faults, bridges
