namespace OpenSandbox.Qmp.Transport;

/// <summary>Arguments of the many commands that take one or two strings.</summary>
internal readonly record struct TextArguments(string Name, string Value, string? SecondName = null, string? SecondValue = null);
