namespace OpenSandbox.Qmp;

/// <summary>QEMU answered a command with an error. The client can still be used.</summary>
public sealed class QmpCommandException : QmpException
{
    internal QmpCommandException(string command, string errorClass, string description)
        : base($"QEMU refused {command}: {description} ({errorClass})", innerException: null)
    {
        Command = command;
        Class = errorClass;
        Description = description;
    }

    /// <summary>The refused command, such as <c>blockdev-add</c>.</summary>
    public string Command { get; }

    /// <summary>QEMU's class of error: <c>GenericError</c> for nearly all of them, <c>CommandNotFound</c>, <c>DeviceNotFound</c>, ...</summary>
    public string Class { get; }

    /// <summary>QEMU's own words, cut to 4,096 characters, control characters replaced. Written by QEMU: not to be parsed, not to be trusted.</summary>
    public string Description { get; }
}
