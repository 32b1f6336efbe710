namespace OpenSandbox.Host.Images;

/// <summary>A line of a build's log.</summary>
/// <param name="Step">Number of the step; 0: the build itself.</param>
/// <param name="Type">The step's type, or what happens with the build.</param>
/// <param name="Message">What is told.</param>
internal sealed record BuildLine(int Step, string Type, string Message);
