//! `spore build`: make a firmware image.

use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use crate::image::EXTENSION;
use clap::Args;
use spore_image::build::virtual_image;
use spore_image::{Act, Behaviour, VIRTUAL_BOARD, Version};
use std::path::PathBuf;

/// Arguments of `spore build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Board the image is for: virtual
    #[arg(long, default_value = VIRTUAL_BOARD)]
    board: String,
    /// Version of the image, such as 1.2.0
    #[arg(long)]
    version: Version,
    /// Name of the firmware
    #[arg(long, default_value = "spore")]
    name: String,
    /// What a node does that runs it: healthy, crash, hang, no-network
    #[arg(long, default_value = "healthy", value_parser = behaviour, hide_default_value = true)]
    behaviour: Act,
    /// How large the image is
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(512..=4_194_304))]
    size: u32,
    /// File to write [default: build/<name>-<board>-<version>.img]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn behaviour(text: &str) -> Result<Act, String> {
    let words = Act::ALL.map(Act::as_str).join(", ");
    Act::ALL.into_iter().find(|act| act.as_str() == text).ok_or(format!("one of {words}"))
}

/// Make the image; its path is the last line printed.
pub fn run(args: &BuildArgs, context: &mut Context) -> Outcome {
    match args.board.as_str() {
        VIRTUAL_BOARD => {}
        "esp8266" => {
            return Err(Failure::other(
                "images for board esp8266 come with the firmware step, which is not there yet",
            )
            .hint(format!("{PROGRAM} build --board virtual --version {}", args.version)));
        }
        board => {
            return Err(Failure::other(format!("there is no board {board:?}")).hint("boards: virtual"));
        }
    }
    let behaviour = Behaviour { act: args.behaviour, ..Behaviour::default() };
    let bytes = virtual_image(&args.name, args.version.clone(), behaviour, args.size as usize)
        .map_err(|error| Failure::other(format!("cannot make this image: {error}")))?;
    let path = args.output.clone().unwrap_or_else(|| {
        context.root.join(format!("build/{}-{}-{}.{EXTENSION}", args.name, args.board, args.version))
    });
    let cannot = |error| Failure::other(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    std::fs::write(&path, &bytes).map_err(cannot)?;
    context.note(&format!("{} {} for {}: {} bytes", args.name, args.version, args.board, bytes.len()));
    if context.json {
        return context.json_line(&serde_json::json!({"path": path, "name": args.name,
            "version": args.version.as_str(), "board": args.board, "size": bytes.len()}));
    }
    Ok(writeln!(context.out, "{}", path.display())?)
}

#[cfg(test)]
mod tests {
    use crate::image::Image;
    use crate::testing::run_in;

    #[test]
    fn the_last_line_is_the_path_of_a_whole_image() {
        let temp = tempfile::tempdir().unwrap();
        let line =
            ["build", "--board", "virtual", "--version", "1.3.0", "--behaviour", "crash", "--size", "3000"];
        let (outcome, out) = run_in(temp.path(), &line, &[]);
        assert_eq!(outcome, Ok(()));
        let path = temp.path().join("build/spore-virtual-1.3.0.img");
        assert_eq!(out.lines().last(), path.to_str());
        let image = Image::read(&path).unwrap();
        assert_eq!((image.version(), image.bytes.len()), ("1.3.0", 3000));
    }

    #[test]
    fn the_output_may_be_chosen() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x/y.img");
        let line = ["build", "--version", "1.0.0", "--name", "lamp", "-o", path.to_str().unwrap()];
        assert_eq!(run_in(temp.path(), &line, &[]).0, Ok(()));
        assert_eq!(Image::read(&path).unwrap().header.name.as_str(), "lamp");
    }

    #[test]
    fn boards_that_are_not_there_yet() {
        let temp = tempfile::tempdir().unwrap();
        for (board, part) in [("esp8266", "firmware step"), ("esp32", "no board")] {
            let failure =
                run_in(temp.path(), &["build", "--board", board, "--version", "1.0.0"], &[]).0.unwrap_err();
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        let bad_name = ["build", "--version", "1.0.0", "--name", "ä b"];
        assert!(run_in(temp.path(), &bad_name, &[]).0.is_err());
    }
}
