//! WiFi and addresses: carries orders and reports between the policy of spore-core, the radio and the IP stack.

use crate::board::Radio;
use crate::context::Context;
use crate::limits::SCAN;
use crate::link;
use crate::state::Address;
use core::net::Ipv4Addr;
use embassy_futures::select::{Either, Either4, select, select4};
use embassy_net::{ConfigV4, DhcpConfig, Ipv4Cidr, Stack, StaticConfigV4};
use embassy_time::{Instant, Timer};
use spore_core::events::Event;
use spore_core::wifi::{Addressing, Network, Output, Policy, RadioCommand, RadioEvent, State};

/// Address of a node on its own access point.
pub const ACCESS_POINT_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);

/// Runs the WiFi policy for ever.
pub(crate) async fn run<R: Radio>(ctx: &Context<'_>, radio: &mut R, stack: Stack<'_>, link: &link::Shared) {
    let now = ctx.now();
    ctx.with(|state| {
        state.wifi.begin(now, state.config.has_credentials(), ctx.quick_crashes());
    });
    let mut has_address = false;
    loop {
        while let Some(output) = ctx.with(|state| state.wifi.poll()) {
            match output {
                Output::Join => join(ctx, radio),
                Output::Radio(command) => radio.command(&command),
                Output::Addressing(addressing) => {
                    has_address = false;
                    link.serve_guests(addressing == Addressing::AccessPoint);
                    set_addressing(ctx, stack, addressing);
                }
                Output::Announce => {
                    if let Some(address) = ctx.with(|state| state.address) {
                        link.announce(address.ip);
                    }
                }
                Output::Changed => tell(ctx),
            }
        }
        let signal = radio.signal();
        let clients = radio.access_point_clients();
        let deadline = ctx.with(|state| {
            state.signal = signal;
            state.access_point_clients = clients;
            state.wifi.next_at()
        });
        // Nobody reports how the signal changes, nor that guests come and go.
        let again = now_and_then(ctx.now(), deadline);
        let timer = Timer::at(ctx.clock(again));
        let address = async {
            if has_address {
                stack.wait_config_down().await;
            } else {
                stack.wait_config_up().await;
            }
        };
        let order = select(ctx.scan.wait(), ctx.rejoin.wait());
        let happened = select4(radio.event(), address, timer, order).await;
        let now = ctx.now();
        match happened {
            Either4::First(RadioEvent::Found(network)) => {
                ctx.with(|state| remember(&mut state.networks, network));
            }
            Either4::First(RadioEvent::ScanDone) => ctx.with(|state| state.scanning = false),
            Either4::First(event) => {
                let code = radio.disconnect_code();
                ctx.with(|state| {
                    state.disconnect_code = code;
                    state.wifi.radio(now, &event);
                });
            }
            Either4::Second(()) => {
                has_address = stack.is_config_up();
                let address = address_of(stack);
                radio.address(address.as_ref().map(|address| {
                    [address.ip, address.netmask, address.gateway().unwrap_or(Ipv4Addr::UNSPECIFIED)]
                }));
                ctx.with(|state| {
                    state.address = address;
                    state.wifi.address(now, has_address);
                    state.trial.network(has_address && is_on_its_network(&state.wifi));
                });
                ctx.schedule.signal(());
            }
            Either4::Third(()) => ctx.with(|state| state.wifi.tick(now)),
            Either4::Fourth(Either::First(())) => {
                ctx.with(|state| {
                    state.networks.clear();
                    state.scanning = true;
                });
                radio.command(&RadioCommand::Scan);
            }
            Either4::Fourth(Either::Second(not_before)) => {
                // The answer to who ordered this still has to leave over the old network.
                Timer::at(not_before).await;
                let now = ctx.now();
                ctx.with(|state| {
                    state.wifi.start(now, state.config.has_credentials());
                });
            }
        }
    }
}

/// Tells the radio to join the network of the settings.
#[inline(never)]
fn join<R: Radio>(ctx: &Context<'_>, radio: &mut R) {
    let join = ctx.with(|state| RadioCommand::Join {
        ssid: state.config.wifi_ssid.clone(),
        passphrase: state.config.wifi_passphrase.clone(),
    });
    radio.command(&join);
}

/// Whether the node is where it belongs: on the network it has credentials for, or, without any, on its own access point. An
/// image on trial that only opens its access point because it cannot join must not pass.
fn is_on_its_network(wifi: &Policy) -> bool {
    wifi.state() == State::Connected || !wifi.has_credentials()
}

/// When to look at the radio again: at the policy's deadline, and at least once a second.
fn now_and_then(
    now: spore_core::time::Instant,
    deadline: Option<spore_core::time::Instant>,
) -> spore_core::time::Instant {
    let soon = now + spore_core::time::Duration::from_secs(1);
    deadline.map_or(soon, |deadline| deadline.min(soon))
}

fn set_addressing(ctx: &Context<'_>, stack: Stack<'_>, addressing: Addressing) {
    ctx.with(|state| state.address = None);
    // Going through "none" drops an old lease.
    stack.set_config_v4(ConfigV4::None);
    match addressing {
        Addressing::None => {}
        Addressing::Dhcp => {
            let mut config = DhcpConfig::default();
            config.hostname = heapless::String::try_from(ctx.hostname().as_str()).ok();
            stack.set_config_v4(ConfigV4::Dhcp(config));
        }
        Addressing::AccessPoint => {
            stack.set_config_v4(ConfigV4::Static(StaticConfigV4 {
                address: Ipv4Cidr::new(ACCESS_POINT_ADDRESS, 24),
                gateway: None,
                dns_servers: heapless::Vec::new(),
            }));
        }
    }
}

fn address_of(stack: Stack<'_>) -> Option<Address> {
    let config = stack.config_v4()?;
    let (ip, netmask) = (config.address.address(), config.address.netmask());
    Some(Address::new(ip, netmask, config.gateway, config.dns_servers.first().copied()))
}

/// Fires `wifi_changed` with what the policy says now.
fn tell(ctx: &Context<'_>) {
    let (state, ssid, error) = ctx.with(|state| {
        let wifi = &state.wifi;
        let ssid = state.config.wifi_ssid.clone();
        (wifi.state().as_str(), ssid, wifi.last_error().map(|error| error.as_str()))
    });
    ctx.log(format_args!("wifi {state} {ssid} {}", error.unwrap_or_default()));
    ctx.fire(&Event::WifiChanged { state, ssid: &ssid, error });
}

/// Keeps the strongest networks, strongest first.
fn remember(networks: &mut heapless::Vec<Network, SCAN>, network: Network) {
    networks.retain(|known| known.bssid != network.bssid);
    let at = networks.iter().position(|known| known.rssi < network.rssi).unwrap_or(networks.len());
    if networks.is_full() {
        if at >= networks.len() {
            return;
        }
        networks.pop();
    }
    let _ = networks.insert(at, network);
}

/// When an order that changes the network is carried out: after the answer has left.
pub(crate) fn after_answer() -> Instant {
    Instant::now() + embassy_time::Duration::from_millis(500)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8, rssi: i8) -> Network {
        let ssid = spore_core::wifi::Ssid::try_from("net").unwrap();
        Network { ssid, bssid: [0, 0, 0, 0, 0, number], channel: 1, rssi, secured: true }
    }

    #[test]
    fn a_scan_keeps_the_strongest_first_and_each_once() {
        let mut networks = heapless::Vec::new();
        for number in 0..40u8 {
            remember(&mut networks, network(number, -90 + i8::try_from(number).unwrap()));
            remember(&mut networks, network(number, -90 + i8::try_from(number).unwrap()));
        }
        assert!(networks.is_full());
        assert!(networks.iter().map(|n| n.rssi).eq((-90..=-51).rev().take(SCAN)));
        remember(&mut networks, network(99, -90));
        assert!(networks.iter().all(|n| n.bssid[5] != 99), "weaker than all the others");
    }
}
