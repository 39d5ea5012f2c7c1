//! Images for virtual nodes.

use super::BuildArgs;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use crate::image::EXTENSION;
use spore_image::build::virtual_image;
use spore_image::{Act, Behaviour};

/// What a virtual node is to do, by name.
pub(super) fn behaviour(text: &str) -> Result<Act, String> {
    let words = Act::ALL.map(Act::as_str).join(", ");
    Act::ALL.into_iter().find(|act| act.as_str() == text).ok_or(format!("one of {words}"))
}

/// Make the image; its path is the last line printed.
pub fn run(args: &BuildArgs, context: &mut Context) -> Outcome {
    let Some(version) = &args.version else {
        return Err(Failure::other("an image for virtual nodes needs a version")
            .hint(format!("{PROGRAM} build --board virtual --version 1.2.0")));
    };
    let behaviour = Behaviour { act: args.behaviour, ..Behaviour::default() };
    let bytes = virtual_image(&args.name, version.clone(), behaviour, args.size as usize)
        .map_err(|error| Failure::other(format!("cannot make this image: {error}")))?;
    let path = args.output.clone().unwrap_or_else(|| {
        context.root.join(format!("build/{}-{}-{}.{EXTENSION}", args.name, args.board, version))
    });
    let cannot = |error| Failure::other(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    std::fs::write(&path, &bytes).map_err(cannot)?;
    context.note(&format!("{} {} for {}: {} bytes", args.name, version, args.board, bytes.len()));
    if context.json {
        return context.json_line(&serde_json::json!({"path": path, "name": args.name,
            "version": version.as_str(), "board": args.board, "size": bytes.len()}));
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
        let line = [
            "build",
            "--board",
            "virtual",
            "--version",
            "1.0.0",
            "--name",
            "lamp",
            "-o",
            path.to_str().unwrap(),
        ];
        assert_eq!(run_in(temp.path(), &line, &[]).0, Ok(()));
        assert_eq!(Image::read(&path).unwrap().header.name.as_str(), "lamp");
    }

    #[test]
    fn what_is_missing_or_wrong() {
        let temp = tempfile::tempdir().unwrap();
        for (line, part) in [
            (["build", "--board", "virtual"].as_slice(), "needs a version"),
            (&["build", "--board", "esp32"], "no board"),
            (&["build"], "no firmware in"),
        ] {
            let failure = run_in(temp.path(), line, &[]).0.unwrap_err();
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        let sdk = run_in(temp.path(), &["build"], &[("ESP8266_SDK_DIR", "sdk")]).0.unwrap_err();
        assert!(sdk.message.contains("no SDK in"), "{}", sdk.message);
        let bad_name = ["build", "--board", "virtual", "--version", "1.0.0", "--name", "ä b"];
        assert!(run_in(temp.path(), &bad_name, &[]).0.is_err());
    }
}
