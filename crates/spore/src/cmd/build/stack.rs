//! How deep the stack can get, as far as direct calls among the firmware's own functions tell. What the SDK and the ROM need below
//! them is theirs.

use super::check::Program;
use serde::Serialize;
use std::collections::BTreeSet;

/// A function and bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sized {
    pub name: String,
    pub bytes: u32,
}

/// The bound of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stack {
    /// Deepest chain of direct calls.
    pub bound: u32,
    /// That chain, outermost first, each with its part.
    pub chain: Vec<Sized>,
    /// The deepest chain from each task's poll function.
    pub tasks: Vec<Sized>,
    /// The deepest chain of the deepest task: what a poll needs while the node runs.
    pub task_chain: Vec<Sized>,
    /// The deepest chain from a function that only a pointer reaches, beside the tasks: what a call through a pointer may add.
    pub by_pointer: Option<Sized>,
    /// The largest frames.
    pub frames: Vec<Sized>,
    /// Calls through pointers, which are not followed.
    pub indirect_calls: usize,
    /// Functions that call themselves, directly or not: their depth counts once.
    pub recursive: Vec<String>,
}

/// Follow all direct calls among the functions of the object `ours`.
pub fn bound(program: &Program, ours: &str) -> Stack {
    let count = program.functions.len();
    let is_ours: Vec<bool> = program
        .functions
        .iter()
        .map(|function| {
            let inputs = program.linked.inputs.iter();
            let input = inputs.rev().find(|input| (input.address..input.end()).contains(&function.address));
            input.is_some_and(|input| input.file.ends_with(ours))
        })
        .collect();
    let mut walk = Walk {
        program,
        is_ours: &is_ours,
        depth: vec![None; count],
        next: vec![None; count],
        open: Vec::new(),
        recursive: BTreeSet::new(),
    };
    let mine: Vec<usize> = (0..count).filter(|index| is_ours[*index]).collect();
    for index in &mine {
        walk.depth(*index);
    }
    let depth = |index: usize| walk.depth[index].unwrap_or(0);
    let sized = |index: usize, bytes| Sized { name: program.name(index), bytes };
    let called: BTreeSet<usize> = program
        .summaries
        .iter()
        .flat_map(|summary| summary.calls.iter().filter_map(|call| program.at(call.target?)))
        .collect();
    let mut stack = Stack::default();
    if let Some(deepest) = mine.iter().copied().max_by_key(|index| (depth(*index), std::cmp::Reverse(*index)))
    {
        stack.bound = depth(deepest);
        stack.chain = walk.chain(deepest);
    }
    let is_task = |index: usize| is_task(&program.functions[index].name);
    let tasks = || mine.iter().copied().filter(|index| is_task(*index));
    stack.tasks =
        tasks().map(|index| Sized { name: task_name(&program.name(index)), bytes: depth(index) }).collect();
    stack.task_chain =
        tasks().max_by_key(|index| depth(*index)).map_or_else(Vec::new, |task| walk.chain(task));
    stack.tasks.sort_by(|a, b| (b.bytes, &a.name).cmp(&(a.bytes, &b.name)));
    let pointed = mine.iter().copied().filter(|index| !called.contains(index) && !is_task(*index));
    // The firmware's exports are entered by the SDK, on an empty stack of ours.
    let pointed = pointed.filter(|index| {
        program.functions[*index].name.starts_with("_R") || program.functions[*index].name.starts_with("_Z")
    });
    stack.by_pointer = pointed
        .max_by_key(|index| (depth(*index), std::cmp::Reverse(*index)))
        .map(|index| sized(index, depth(index)));
    let mut frames: Vec<usize> = mine.clone();
    frames.sort_by_key(|index| (std::cmp::Reverse(program.summaries[*index].frame), program.name(*index)));
    stack.frames =
        frames.iter().take(8).map(|index| sized(*index, program.summaries[*index].frame)).collect();
    let summaries = mine.iter().map(|index| &program.summaries[*index]);
    stack.indirect_calls =
        summaries.flat_map(|summary| &summary.calls).filter(|call| call.target.is_none()).count();
    stack.recursive = walk.recursive.iter().map(|index| program.name(*index)).collect();
    stack
}

/// Whether a function is the poll function of one of embassy's tasks.
fn is_task(name: &str) -> bool {
    let name = super::check::pretty(name);
    name.contains("TaskStorage") && name.ends_with("::poll")
}

/// The async function whose poll function this is.
fn task_name(poll: &str) -> String {
    let path = poll.split("::{closure").next().unwrap_or(poll);
    path.rsplit(['<', ' ']).next().unwrap_or(path).to_owned()
}

struct Walk<'a> {
    program: &'a Program<'a>,
    is_ours: &'a [bool],
    depth: Vec<Option<u32>>,
    /// Whom the deepest chain goes to.
    next: Vec<Option<usize>>,
    open: Vec<usize>,
    recursive: BTreeSet<usize>,
}

impl Walk<'_> {
    /// The deepest chain from a function whose depth is known: each function with its part.
    fn chain(&self, from: usize) -> Vec<Sized> {
        let depth = |index: usize| self.depth[index].unwrap_or(0);
        let mut chain = Vec::new();
        let mut at = Some(from);
        while let Some(index) = at {
            at = self.next[index];
            chain.push(Sized { name: self.program.name(index), bytes: depth(index) - at.map_or(0, depth) });
        }
        chain
    }

    fn depth(&mut self, index: usize) -> u32 {
        if let Some(depth) = self.depth[index] {
            return depth;
        }
        if self.open.contains(&index) {
            self.recursive.insert(index);
            return 0;
        }
        self.open.push(index);
        let program = self.program;
        let summary = &program.summaries[index];
        let (mut deepest, mut next) = (summary.frame, None);
        for call in &summary.calls {
            let Some(callee) = call.target.and_then(|target| program.at(target)) else { continue };
            if !self.is_ours[callee] {
                continue;
            }
            let depth = call.depth + self.depth(callee);
            if depth > deepest {
                (deepest, next) = (depth, Some(callee));
            }
        }
        self.open.pop();
        self.depth[index] = Some(deepest);
        self.next[index] = next;
        deepest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_go_by_their_functions() {
        let poll = "<embassy_executor::raw::TaskStorage<spore_rt::executor::Named<spore_firmware::launch::worker_task::{closure#0}>>>::poll";
        assert_eq!(task_name(poll), "spore_firmware::launch::worker_task");
        assert_eq!(task_name("poll"), "poll");
    }
}
