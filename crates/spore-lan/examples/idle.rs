//! What a LAN of idle hosts costs: `cargo run -p spore-lan --example idle [hosts] [seconds]`.
//!
//! Each host holds an address by DHCP, says hello to all every two seconds and listens on port 80, in real time.
//! Prints the process's CPU time as a share of the time that passed.

use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Timer};
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use spore_lan::gateway::Gateway;
use spore_lan::host::{Address, Host};
use spore_lan::switch::Switch;

fn main() {
    let mut arguments = std::env::args().skip(1).map_while(|word| word.parse::<u64>().ok());
    let (count, seconds) = (arguments.next().unwrap_or(50), arguments.next().unwrap_or(10));
    let world = World::new(Mode::Real);
    let switch = Switch::new(1);
    let gateway = Gateway::new(&world.spawner(), &switch, 1);
    let hosts: Vec<_> = (0..count)
        .map(|n| {
            let [.., high, low] = n.to_be_bytes();
            let host =
                Host::new::<6>(&world.spawner(), switch.attach([2, 0, 0, 1, high, low]), Address::Dhcp, n);
            let (stack, peer) = (host.stack(), host.udp(4210));
            world
                .spawn(async move {
                    let (mut rx, mut tx) = (vec![0; 2_048], vec![0; 2_048]);
                    let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
                    // Nobody comes; listening is what costs.
                    let _ = socket.accept(80).await;
                })
                .detach();
            world
                .spawn(async move {
                    Timer::after_millis(n * 2_000 / count).await;
                    loop {
                        peer.broadcast(4210, &[0x53; 120]);
                        Timer::after_secs(2).await;
                        while peer.try_receive().is_some() {}
                    }
                })
                .detach();
            host
        })
        .collect();
    world.run_until(async {
        for host in &hosts {
            host.up().await;
        }
    });
    println!("{count} hosts have addresses from {}", gateway.host().ip().expect("the gateway's is fixed"));
    let (before, polls) = (cpu_time(), world.polls());
    world.run_for(Duration::from_secs(seconds));
    let spent = cpu_time().saturating_sub(before);
    let counters = switch.counters();
    println!(
        "CPU {:.1} % of one core, {} polls/s, {} frames delivered, {} overrun",
        spent.as_secs_f64() * 100.0 / seconds as f64,
        (world.polls() - polls) / seconds,
        counters.delivered_frames,
        counters.overrun,
    );
}

/// CPU time of the process so far.
fn cpu_time() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
