//! What the user types at the prompt: text, or a command.

/// What can be asked for at the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Lists the commands.
    Help,
    /// Changes a setting.
    Set,
    /// Shows the model and the settings.
    Show,
    /// Shows the figures of the last text.
    Stats,
    /// Shows the first logits, to compare with another machine.
    Logits,
    /// Measures how fast the model runs here.
    Bench,
    /// Goes back to the list of models.
    Models,
    /// Describes the machine.
    Diag,
    /// Shows the licences of the program and its fonts.
    Licenses,
    /// Leaves.
    Exit,
}

/// A command as the user types and reads it.
pub struct CommandInfo {
    /// What it does.
    pub command: Command,
    /// Its names; the first is the one that is shown.
    pub names: &'static [&'static str],
    /// What follows it.
    pub arguments: &'static str,
    /// What it does, in a few words.
    pub help: &'static str,
}

impl Command {
    /// All commands in the order in which help lists them. A new one is a new entry.
    pub const ALL: &'static [CommandInfo] = &[
        CommandInfo {
            command: Command::Help,
            names: &["/help", "/?"],
            arguments: "",
            help: "show this (or: help, ?)",
        },
        CommandInfo {
            command: Command::Set,
            names: &["/set"],
            arguments: "NAME VALUE",
            help: "change a setting; without a name: list them",
        },
        CommandInfo {
            command: Command::Show,
            names: &["/show"],
            arguments: "",
            help: "show the model and the settings",
        },
        CommandInfo {
            command: Command::Stats,
            names: &["/stats"],
            arguments: "",
            help: "show the figures of the last text and of loading",
        },
        CommandInfo {
            command: Command::Logits,
            names: &["/logits"],
            arguments: "[raw|digest]",
            help: "likely next tokens; raw numbers; one number for PCs",
        },
        CommandInfo {
            command: Command::Bench,
            names: &["/bench"],
            arguments: "",
            help: "measure how fast the model runs, and how fast it could",
        },
        CommandInfo {
            command: Command::Models,
            names: &["/models"],
            arguments: "",
            help: "choose another model",
        },
        CommandInfo {
            command: Command::Diag,
            names: &["/diag"],
            arguments: "",
            help: "describe this machine",
        },
        CommandInfo {
            command: Command::Licenses,
            names: &["/licenses"],
            arguments: "",
            help: "show credits, and the licences of program and fonts",
        },
        CommandInfo {
            command: Command::Exit,
            names: &["/exit", "/bye", "/quit"],
            arguments: "[firmware]",
            help: "power off, or go back to the firmware; on Linux: quit",
        },
    ];
}

/// A line as it was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing but white space.
    Empty,
    /// The beginning of a text.
    Text(&'a str),
    /// A command and what follows it, trimmed.
    Command(Command, &'a str),
    /// It begins like a command, but there is none of this name.
    Unknown(&'a str),
}

impl<'a> Line<'a> {
    /// Reads a line. What begins with `/` is a command, in lower or upper case; put a space before a
    /// text that begins so. The words `help`, `?`, `exit` and `quit` alone are commands, too.
    pub fn parse(line: &'a str) -> Self {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            return Line::Empty;
        }
        match trimmed {
            "exit" | "quit" => return Line::Command(Command::Exit, ""),
            "help" | "?" => return Line::Command(Command::Help, ""),
            _ => {}
        }
        if !line.starts_with('/') {
            return Line::Text(line);
        }
        let (name, arguments) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        let is_named =
            |info: &&CommandInfo| info.names.iter().any(|known| known.eq_ignore_ascii_case(name));
        match Command::ALL.iter().find(is_named) {
            Some(info) => Line::Command(info.command, arguments.trim()),
            None => Line::Unknown(name),
        }
    }
}
