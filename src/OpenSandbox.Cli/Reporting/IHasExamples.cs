namespace OpenSandbox.Cli.Reporting;

/// <summary>A verb with more to say in its help than its options.</summary>
internal interface IHasExamples
{
    /// <summary>Text for the end of the help.</summary>
    string Examples { get; }
}
